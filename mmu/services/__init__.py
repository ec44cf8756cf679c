"""Overcommit services: what a host does when its VMs are promised more memory than it has."""
