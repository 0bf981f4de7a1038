"""A transition told to somebody who was not there: who, what, why, when, on what evidence; as Markdown or a page.

Pure: audit entries in, text out. Every text from elsewhere is escaped where it is written.
"""
