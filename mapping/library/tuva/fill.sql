SELECT r.data_source, r.claim_id, r.claim_line_number, r.patient_id, r.ndc_code, r.quantity, r.dispensing_date,
       round(r.allowed_amount, 2) AS allowed, round(r.paid_amount, 2) AS paid,
       r.coinsurance_amount, r.copayment_amount, r.deductible_amount
FROM pharmacy_claim r
