"""What the tests and benchmarks stand on: the test runner, and real servers on free ports."""
