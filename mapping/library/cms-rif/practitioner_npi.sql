-- Practitioners by NPI, and the CMS specialty where a carrier line tells it. The
-- check digit of an NPI is Luhn's over 80840 and its ten digits; the prefix adds 24.
SELECT p.npi, max(p.specialty) AS specialty,
       length(p.npi) = 10 AND translate(p.npi, '0123456789', '') = ''
       AND (24 + strpos('0516273849', substr(p.npi, 1, 1)) - 1 + strpos('0516273849', substr(p.npi, 3, 1)) - 1
            + strpos('0516273849', substr(p.npi, 5, 1)) - 1 + strpos('0516273849', substr(p.npi, 7, 1)) - 1 + strpos('0516273849', substr(p.npi, 9, 1)) - 1
            + strpos('0123456789', substr(p.npi, 2, 1)) - 1 + strpos('0123456789', substr(p.npi, 4, 1)) - 1 + strpos('0123456789', substr(p.npi, 6, 1)) - 1 + strpos('0123456789', substr(p.npi, 8, 1)) - 1 + strpos('0123456789', substr(p.npi, 10, 1)) - 1) % 10 = 0 AS is_npi
FROM (SELECT trim(x.at_physn_npi) AS npi, NULL AS specialty FROM rif.inpatient x
      UNION ALL SELECT trim(x.op_physn_npi), NULL FROM rif.inpatient x
      UNION ALL SELECT trim(x.ot_physn_npi), NULL FROM rif.inpatient x
      UNION ALL SELECT trim(x.rndrng_physn_npi), NULL FROM rif.inpatient x
      UNION ALL SELECT trim(x.at_physn_npi), NULL FROM rif.snf x
      UNION ALL SELECT trim(x.op_physn_npi), NULL FROM rif.snf x
      UNION ALL SELECT trim(x.ot_physn_npi), NULL FROM rif.snf x
      UNION ALL SELECT trim(x.rndrng_physn_npi), NULL FROM rif.snf x
      UNION ALL SELECT trim(x.at_physn_npi), NULL FROM rif.outpatient x
      UNION ALL SELECT trim(x.op_physn_npi), NULL FROM rif.outpatient x
      UNION ALL SELECT trim(x.ot_physn_npi), NULL FROM rif.outpatient x
      UNION ALL SELECT trim(x.rndrng_physn_npi), NULL FROM rif.outpatient x
      UNION ALL SELECT trim(x.at_physn_npi), NULL FROM rif.hha x
      UNION ALL SELECT trim(x.rndrng_physn_npi), NULL FROM rif.hha x
      UNION ALL SELECT trim(x.at_physn_npi), NULL FROM rif.hospice x
      UNION ALL SELECT trim(x.rndrng_physn_npi), NULL FROM rif.hospice x
      UNION ALL SELECT trim(x.rfr_physn_npi), NULL FROM rif.dme x
      UNION ALL SELECT trim(x.rfr_physn_npi), NULL FROM rif.carrier x
      UNION ALL SELECT trim(x.prf_physn_npi), trim(x.prvdr_spclty) FROM rif.carrier x
      UNION ALL SELECT trim(x.prscrbr_id), NULL FROM rif.pde x) p
WHERE p.npi <> ''
GROUP BY p.npi
