"""Everything that touches a disk: places, whole files, locks."""
