"""A paper's table as a recipe: its rows on the same data and seeds, the published numbers, and its claims judged."""
