SELECT r.*, CAST(NULL AS VARCHAR) AS claim_payer, '' AS product, CAST(NULL AS DECIMAL(18,2)) AS coinsurance_amount, CAST(NULL AS DECIMAL(18,2)) AS copayment_amount,
       CAST(NULL AS DECIMAL(18,2)) AS deductible_amount, CAST(NULL AS INTEGER) AS in_network_flag
FROM tuva.pharmacy_claim r
