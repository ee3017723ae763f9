"""What Adventure sells, and to whom: one catalogue of products and customers, the same for history and live sales.

All of it is made up, with the shapes of a bicycle company's books, and the same on every machine. Standard library
only, so that the generator's container stays small. This room must not know any database.
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
