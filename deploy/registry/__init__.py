"""A real schema registry on loopback, for the tests: Apicurio's."""
