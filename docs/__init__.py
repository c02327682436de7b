"""What the documentation's site is built with: pages made from the code, hooks of mkdocs, drawings."""
