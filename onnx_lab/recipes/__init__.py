"""Lists of transforms with their options; the only room that may measure after it transforms."""
