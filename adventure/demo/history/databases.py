"""Generate the rows of the sales database's tables: customers, products, inventory, offers and vendors."""

from collections.abc import Iterator
from datetime import datetime

from adventure.demo.catalogue import customers, products
from adventure.demo.history.purchasing import Offer, Vendor, make_inventory

Row = dict[str, object]

_MODIFIED = datetime(2014, 9, 12, 11, 15, 7)


def customer_rows() -> Iterator[Row]:
    for customer in customers():
        yield {
            "customerid": customer.customer_id,
            "firstname": customer.first_name,
            "middlename": customer.middle_name,
            "lastname": customer.last_name,
            "fullname": customer.full_name,
            "emailaddress": customer.email,
            "addressline1": customer.address_line1,
            "addressline2": customer.address_line2,
            "city": customer.city,
            "stateprovince": customer.state,
            "countryregion": customer.country,
            "postalcode": customer.postal_code,
            "accountnumber": customer.customer_number,
            "territoryid": customer.territory_id,
            "modifieddate": _MODIFIED,
        }


def product_rows() -> Iterator[Row]:
    for product in products():
        yield {
            "productid": product.product_id,
            "productname": product.name,
            "productnumber": product.product_number,
            "color": product.color,
            "standardcost": product.standard_cost,
            "listprice": product.list_price,
            "size": product.size,
            "sizeunitmeasure": product.size_unit,
            "weight": product.weight,
            "weightunitmeasure": product.weight_unit,
            "productline": product.product_line,
            "class": product.product_class,
            "style": product.style,
            "productcategory": product.category,
            "productsubcategory": product.subcategory,
            "productmodel": product.model,
            "sellstartdate": product.sell_start,
            "sellenddate": product.sell_end,
            "discontinueddate": None,
            "modifieddate": _MODIFIED,
        }


def inventory_rows(seed: int) -> Iterator[Row]:
    for product_id, location_id, shelf, bin_, quantity in make_inventory(seed):
        yield {
            "productid": product_id,
            "locationid": location_id,
            "shelf": shelf,
            "bin": bin_,
            "quantity": quantity,
        }


def offer_rows(offers: list[Offer]) -> Iterator[Row]:
    for offer in offers:
        yield {
            "productid": offer.product_id,
            "vendorid": offer.vendor_id,
            "averageleadtime": offer.lead_time,
            "standardprice": _money(offer.price),
            "lastreceiptcost": _money(offer.last_cost),
            "lastreceiptdate": offer.last_receipt,
            "minorderqty": offer.min_quantity,
            "maxorderqty": offer.max_quantity,
            "onorderqty": offer.on_order,
            "unitmeasurecode": offer.unit_measure,
            "modifieddate": offer.last_receipt,
        }


def vendor_rows(vendors: list[Vendor]) -> Iterator[Row]:
    for vendor in vendors:
        yield {
            "vendorid": vendor.vendor_id,
            "accountnumber": vendor.account_number,
            "name": vendor.name,
            "creditrating": vendor.credit_rating,
            "preferredvendorstatus": int(vendor.is_preferred),
            "activeflag": int(vendor.is_active),
            "purchasingwebserviceurl": None,
            "modifieddate": vendor.since,
        }


def _money(ten_thousandths: int) -> str:
    return f"{ten_thousandths // 10_000}.{ten_thousandths % 10_000:04d}"
