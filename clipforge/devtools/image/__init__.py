"""Writers of the files that pin the container image.

    locking   clipforge/deploy/requirements.lock, every package with its digests, and sbom.cdx.json
    digests   the digests of base images, into the Dockerfile and docker-compose.yml

`python -m clipforge.devtools.image lock` and `… digests` write them.
"""
