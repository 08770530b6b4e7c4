"""Image files as people have them: what kind they are, their pixels and metadata, in and out."""
