"""A real headless Chromium that looks at pages."""
