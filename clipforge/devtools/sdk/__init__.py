"""The generated part of the SDKs, made from the schema of the API.

    reading      operations, as an SDK sees them
    python       models by datamodel-code-generator, and a method for each operation
    typescript   models by openapi-typescript, and a method for each operation
    generating   both, written into `clipforge/sdk`

`manage.py generate_sdk` writes them; a test fails while they are older than the schema.
"""
