"""What users have: arrays, files, images of other libraries."""
