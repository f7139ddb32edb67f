"""Training of the degradation estimator (`xpsr.prompts.estimator`)."""
