"""Stand-ins for what a test cannot have, as a disk that loses power, or look into."""
