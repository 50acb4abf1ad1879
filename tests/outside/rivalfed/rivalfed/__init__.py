"""A protocol, a model, a defense, a statistic, a payload type and a data set for fedprivacy."""
