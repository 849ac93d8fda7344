"""Pure functions against numbers worked by hand and slow numpy twins."""
