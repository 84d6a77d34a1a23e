"""Measurements: ``python -m bench NAME``. Each module with a ``run(argv)`` is one."""
