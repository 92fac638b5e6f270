"""Run times and costs of workloads on configurations, as somebody measured them."""
