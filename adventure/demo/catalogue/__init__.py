"""The products and customers of the demo's shop; history and live sales share them.

All data is made up, modelled on a bicycle company, and the same on every machine. This package uses only the standard
library, so that the generator's container stays small, and does not depend on any database.
"""

from adventure.demo.catalogue.customers import TERRITORIES, Customer, Territory, customers
from adventure.demo.catalogue.products import Category, Product, products, sold_products

__all__ = [
    "TERRITORIES",
    "Category",
    "Customer",
    "Product",
    "Territory",
    "customers",
    "products",
    "sold_products",
]
