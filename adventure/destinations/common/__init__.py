"""Shared by both warehouses: ledger, task history, dialect, reports and builds."""
