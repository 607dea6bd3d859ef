"""SharpVAE: what makes a VAE's images blurry, and what mends it."""
