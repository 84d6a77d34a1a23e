"""Where records come from: files and topics."""
