SELECT m.data_source, m.claim_id, m.claim_line_number, m.patient_id,
       m.revenue_center_code, m.place_of_service_code, m.service_unit_quantity, m.rendering_npi,
       m.charge_amount, m.allowed_amount, m.paid_amount, m.coinsurance_amount, m.copayment_amount, m.deductible_amount,
       coalesce(m.claim_line_start_date, m.claim_start_date) AS served_from,
       coalesce(m.claim_line_end_date, m.claim_end_date) AS served_to,
       m.hcpcs_code,
       CASE WHEN m.hcpcs_code IS NULL THEN NULL
            WHEN translate(substr(m.hcpcs_code, 1, 4), '0123456789', '') = '' THEN 'cpt' ELSE 'hcpcs' END AS hcpcs_system,
       m.hcpcs_modifier_1, m.hcpcs_modifier_2, m.hcpcs_modifier_3, m.hcpcs_modifier_4, m.hcpcs_modifier_5,
       CASE WHEN m.hcpcs_modifier_1 IS NULL THEN NULL WHEN translate(substr(m.hcpcs_modifier_1, 1, 1), '0123456789', '') = '' THEN 'cpt' ELSE 'hcpcs' END AS modifier_system_1,
       CASE WHEN m.hcpcs_modifier_2 IS NULL THEN NULL WHEN translate(substr(m.hcpcs_modifier_2, 1, 1), '0123456789', '') = '' THEN 'cpt' ELSE 'hcpcs' END AS modifier_system_2,
       CASE WHEN m.hcpcs_modifier_3 IS NULL THEN NULL WHEN translate(substr(m.hcpcs_modifier_3, 1, 1), '0123456789', '') = '' THEN 'cpt' ELSE 'hcpcs' END AS modifier_system_3,
       CASE WHEN m.hcpcs_modifier_4 IS NULL THEN NULL WHEN translate(substr(m.hcpcs_modifier_4, 1, 1), '0123456789', '') = '' THEN 'cpt' ELSE 'hcpcs' END AS modifier_system_4,
       CASE WHEN m.hcpcs_modifier_5 IS NULL THEN NULL WHEN translate(substr(m.hcpcs_modifier_5, 1, 1), '0123456789', '') = '' THEN 'cpt' ELSE 'hcpcs' END AS modifier_system_5
FROM medical_claim m
