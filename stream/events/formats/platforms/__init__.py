"""Events as analytics and retail platforms write them: a file a platform."""
