"""What each seat learns of who was trained on, protocol by protocol, against averaging that stops as accurate."""
