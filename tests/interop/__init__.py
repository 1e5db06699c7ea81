"""Programs of interop/, as far as they need nothing from elsewhere."""
