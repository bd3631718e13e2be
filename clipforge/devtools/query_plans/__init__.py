"""The query plans of each page of the API and the admin, compared with a budget."""
