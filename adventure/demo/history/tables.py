"""The raw tables of the history, and the keys that a file for each must contain."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RawTable:
    """A raw table.

    A table of documents stores them in its column `raw`. Any other table has the columns of the warehouse's table.
    """

    schema: str
    name: str
    texts: tuple[str, ...] = ()
    """Keys whose values are text, including dates and identifiers."""
    numbers: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    """Keys whose values are objects or arrays."""
    nested_keys: tuple[str, ...] = ()
    """The keys within the nested values."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of a document; empty for tables without documents."""
        return (*self.texts, *self.numbers, *self.nested)

    @property
    def location(self) -> str:
        return f"{self.schema}.{self.name}"


RAW_TABLES: tuple[RawTable, ...] = (
    RawTable(
        "ecom",
        "sales_order_raw",
        texts=(
            "SalesOrderID", "CustomerID", "AccountNumber", "Comment", "CreditCardApprovalCode", "PurchaseOrderNumber",
            "SalesOrderNumber", "DeliveryEstimate", "DueDate", "OrderDate", "ShipDate", "ModifiedDate",
        ),
        numbers=(
            "BillToAddressID", "ShipToAddressID", "CreditCardID", "CurrencyRateID", "RevisionNumber", "SalesPersonID",
            "ShipMethodID", "Status", "TerritoryID", "Freight", "SubTotal", "TaxAmt", "TotalDue", "OnlineOrderFlag",
        ),
        nested=("OrderDetails",),
        nested_keys=(
            "SalesOrderDetailID", "CarrierTrackingNumber", "OrderQty", "ProductID", "SpecialOfferID", "UnitPrice",
            "UnitPriceDiscount", "LineTotal", "ModifiedDate",
        ),
    ),
    RawTable(
        "ecom",
        "purchase_order_raw",
        texts=("OrderDate", "ShipDate"),
        numbers=(
            "EmployeeID", "Freight", "PurchaseOrderID", "RevisionNumber", "ShipMethodID", "Status", "SubTotal",
            "TaxAmt", "TotalDue", "VendorID",
        ),
        nested=("OrderDetails",),
        nested_keys=(
            "DueDate", "LineTotal", "OrderQty", "ProductID", "PurchaseOrderDetailID", "ReceivedQty", "RejectedQty",
            "StockedQty", "UnitPrice",
        ),
    ),
    RawTable(
        "ecom",
        "email_campaign_raw",
        texts=("campaign_id", "event_date", "event_type"),
        numbers=("customer_id", "event_id", "order_id", "product_id"),
    ),
    RawTable(
        "new_mktg",
        "email_mktg_raw",
        texts=("campaign_id", "eventDate", "eventType"),
        numbers=("EventID", "customer_id", "orderId", "ProductId"),
    ),
    RawTable("adventure_db", "customer_prod_db"),
    RawTable("adventure_db", "product_prod_db"),
    RawTable("adventure_db", "inventory_prod_db"),
    RawTable("adventure_db", "product_vendor_prod_db"),
    RawTable("adventure_db", "vendor_prod_db"),
)  # fmt: skip
