"""The local function host: Lambda's API over HTTP, with functions as real processes under real limits."""
