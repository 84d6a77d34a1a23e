"""Stand-ins for what a test cannot have: a disk that loses power, a second device."""
