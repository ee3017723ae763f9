"""What both warehouses share: ledger, task history, reports and builds."""
