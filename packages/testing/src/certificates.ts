/** What a test server shows and a test client trusts: for `localhost` and `node.example`, signed by itself, for a hundred years. */
export interface SelfSigned {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export const firstCertificate: SelfSigned = {
  cert: Buffer.from(`-----BEGIN CERTIFICATE-----
MIIBpDCCAUmgAwIBAgIUG4kgD6M7whPcvQrJE7LZtYDLHaswCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDEzNTMxNVoYDzIxMjYxMTA2
MTM1MzE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARlGX7mgurirTJ6pa7Zcbo5DFxgvM/oHmDbqr6UHHAmbsIInNn06P3f
7kJR881gBSv2aTXmTte0e74gaYG6qPxio3cwdTAdBgNVHQ4EFgQUPrSRUSz2E0nc
624EMBEiQutHE+AwHwYDVR0jBBgwFoAUPrSRUSz2E0nc624EMBEiQutHE+AwDwYD
VR0TAQH/BAUwAwEB/zAiBgNVHREEGzAZgglsb2NhbGhvc3SCDG5vZGUuZXhhbXBs
ZTAKBggqhkjOPQQDAgNJADBGAiEApJek2z1w5aaqgBGljOUAwW7PQgCmsOqliI61
X5Ijcf8CIQCpUvz5+FuNmoFDRHXiPdTcy2iv4kkBrKRnvt5x6aqz5g==
-----END CERTIFICATE-----
`),
  key: Buffer.from(`-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgEHX/ajjnHOhg3Ee8
RJh4wRPddPsmp01zYMAYPyxdXhChRANCAARlGX7mgurirTJ6pa7Zcbo5DFxgvM/o
HmDbqr6UHHAmbsIInNn06P3f7kJR881gBSv2aTXmTte0e74gaYG6qPxi
-----END PRIVATE KEY-----
`),
};

export const secondCertificate: SelfSigned = {
  cert: Buffer.from(`-----BEGIN CERTIFICATE-----
MIIBojCCAUmgAwIBAgIUehsrik+gTdgrDnyo1zcMxQTvt4kwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDEzNTMxNVoYDzIxMjYxMTA2
MTM1MzE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASZjRfnhn+Sp7DnsGT/52FdDao8pvZSIraVi7sEKW/pWfv2AAXJxF2A
PNCiGrgShuvNi08PfAYoBqMxrq6L9bsQo3cwdTAdBgNVHQ4EFgQULJ7SIcjCg7xj
S62+NfqmfuWkNTkwHwYDVR0jBBgwFoAULJ7SIcjCg7xjS62+NfqmfuWkNTkwDwYD
VR0TAQH/BAUwAwEB/zAiBgNVHREEGzAZgglsb2NhbGhvc3SCDG5vZGUuZXhhbXBs
ZTAKBggqhkjOPQQDAgNHADBEAiAfbKe9LSZtSAiMCBWPy22wi02UmwUDsI7/gQpA
11AGzgIgIiJ7DDMJHMNW6oa6pImT0ZZYel05yhCINyBorLFRS1U=
-----END CERTIFICATE-----
`),
  key: Buffer.from(`-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjZIILHmtzMlVfk0N
m/UAIW8OcCmkcAXVpMzITQ+/hZmhRANCAASZjRfnhn+Sp7DnsGT/52FdDao8pvZS
IraVi7sEKW/pWfv2AAXJxF2APNCiGrgShuvNi08PfAYoBqMxrq6L9bsQ
-----END PRIVATE KEY-----
`),
};
