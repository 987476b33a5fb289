"""Where bundles are pulled from: object stores, OCI registries, MLflow, the Hugging Face Hub."""
