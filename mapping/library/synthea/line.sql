SELECT b.*, CAST(coalesce(b.paid1, 0) + coalesce(b.paid2, 0) AS DECIMAL(18,2)) AS paid_by_payers FROM billed b
