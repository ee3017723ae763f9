"""The raw tables of the history, and what a file for each of them must hold."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RawTable:
    """One raw table.

    A table of documents has them in its column `raw`; the columns of any other are those of the warehouse's table.
    """

    schema: str
    name: str
    texts: tuple[str, ...] = ()
    """Keys of a document whose values are text, dates and identifiers among them."""
    numbers: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    """Keys whose values are objects or arrays."""
    nested_keys: tuple[str, ...] = ()
    """The keys in those."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of a document; none for tables that hold no documents."""
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
