-- The CMS certification numbers that stand beside an NPI.
SELECT DISTINCT o.npi, o.ccn
FROM (SELECT trim(x.org_npi_num) AS npi, trim(x.prvdr_num) AS ccn FROM rif.inpatient x
      UNION ALL SELECT trim(x.org_npi_num), trim(x.prvdr_num) FROM rif.snf x
      UNION ALL SELECT trim(x.org_npi_num), trim(x.prvdr_num) FROM rif.outpatient x
      UNION ALL SELECT trim(x.org_npi_num), trim(x.prvdr_num) FROM rif.hha x
      UNION ALL SELECT trim(x.org_npi_num), trim(x.prvdr_num) FROM rif.hospice x
      UNION ALL SELECT trim(x.prvdr_npi), trim(x.prvdr_num) FROM rif.dme x) o
WHERE o.npi <> '' AND o.ccn <> ''
