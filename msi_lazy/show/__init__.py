"""Plans, pictures, viewers."""
