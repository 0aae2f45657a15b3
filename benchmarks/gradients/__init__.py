"""What clipping and watching gradients costs."""
