SELECT r.data_source, r.claim_id, r.claim_line_number, r.patient_id, r.ndc_code, r.quantity, r.dispensing_date,
       round(r.allowed_amount, 2) AS allowed, round(r.paid_amount, 2) AS paid
FROM tuva.pharmacy_claim r
