"""Loading models, the denoising loop, and generation from plan to disk."""
