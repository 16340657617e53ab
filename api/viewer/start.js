// Shows the description of this installation, and asks nobody else for anything.
Scalar.createApiReference('#reference', {
  url: '/v1/openapi.yaml',
  withDefaultFonts: false,
  telemetry: false,
  proxyUrl: '',
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: 'never',
  documentDownloadType: 'direct',
  authentication: { preferredSecurityScheme: 'apiKey' },
});
