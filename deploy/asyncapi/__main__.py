"""Writes docs/asyncapi.yaml: ``python -m deploy.asyncapi``."""

from deploy.asyncapi.document import PATH, text

if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    print(f"asyncapi: wrote {PATH.name}")
