"""What the app runs: attributes -> prompt -> CLIP -> sampler/U-Net -> SRResNet. Imports neither gradio nor training."""
