"""Entry point of `python -m service.reference`: writes every generated file whose text has changed."""

from pathlib import Path

from service.reference.pages import PAGES

ROOT = Path(__file__).parents[2]


def main() -> None:
    for name, text in PAGES.items():
        path, content = ROOT / name, text()
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            print(f"wrote {name}")


main()
