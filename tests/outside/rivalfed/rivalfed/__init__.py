"""A protocol, a model, a defense, a statistic and a data set for fedprivacy."""
