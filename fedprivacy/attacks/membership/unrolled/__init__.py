"""A client's run as a differentiable function of its coins: simulation, adjoint, likelihoods, descent."""
