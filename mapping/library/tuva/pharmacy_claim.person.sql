SELECT r.data_source, r.claim_id, r.claim_line_number, r.person_id AS patient_id, r.member_id, r.prescribing_provider_npi, r.dispensing_provider_npi,
       r.dispensing_date, r.ndc_code, r.quantity, r.days_supply, r.refills, r.paid_date, r.paid_amount, r.allowed_amount,
       r.payer AS claim_payer, coalesce(r.payer, '') || '|' || coalesce(r.plan, '') AS product,
       r.coinsurance_amount, r.copayment_amount, r.deductible_amount, CAST(r.in_network_flag AS INTEGER) AS in_network_flag
FROM tuva.pharmacy_claim r
