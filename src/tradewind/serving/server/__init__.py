"""The listening side: HTTP and gRPC, the engine that batches, the replicas that run."""
